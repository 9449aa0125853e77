"""Parts of `precisionpain.imaging.dicom`."""
