from .blocks import FeatureBlock as FeatureBlock
from .blocks import available_blocks as available_blocks
from .early import EarlyFusion as EarlyFusion
from .early import early_fusion as early_fusion
from .late import LateFusion as LateFusion
from .late import late_fusion as late_fusion
from .models import block_model as block_model
from .tables import TableFeatures as TableFeatures
