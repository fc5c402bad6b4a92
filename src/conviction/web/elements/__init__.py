"""What pages are made of: plain elements, surfaces, curves, maps, fields."""
