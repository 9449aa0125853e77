from .files import load_image as load_image
