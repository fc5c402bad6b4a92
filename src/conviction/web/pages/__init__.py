"""The steps of the lab, a page each, with the frame and the chapter around them."""
