"""Behind the figures: input checks, sheets through the image, outlines, and meshes."""
