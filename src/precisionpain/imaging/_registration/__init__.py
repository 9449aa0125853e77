"""Parts of the registration to the MNI space."""
