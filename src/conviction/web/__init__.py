"""The lab page: the whole lab as a workbench in the browser, over processes that do the work."""
