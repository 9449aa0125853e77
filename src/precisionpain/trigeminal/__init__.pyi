from .anatomy import Label as Label
from .anatomy import rez_bin as rez_bin
