"""The whole lab in order, a file for each verb: load, reshape, normalise, encode, split, build, train, evaluate, keep."""
