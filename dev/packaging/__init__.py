"""The package that Lambda gets: the template and the zip."""
