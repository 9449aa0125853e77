"""Parts of the synthetic cistern: shapes, anatomy, truth, raster, appearance."""
