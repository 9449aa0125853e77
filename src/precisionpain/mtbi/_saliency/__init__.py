"""Parts of the saliency maps and of what is asked of them."""
