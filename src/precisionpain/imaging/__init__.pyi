from .files import load_image as load_image
from .radiomics import radiomics as radiomics
from .radiomics import radiomics_table as radiomics_table
