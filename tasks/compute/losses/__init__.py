"""The losses of one head against many target sets, exactly as the stock criterion gives them."""
