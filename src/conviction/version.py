"""The version of the package, and of what it writes."""

__version__ = "0.2.0"
# Of the files of runs and studies, and of answers in JSON. It is raised when an older version would misread them; what
# is only added does not count.
SCHEMA = 1
