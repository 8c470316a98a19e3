"""The package that Lambda gets: the template and the zip."""


class PackageError(Exception):
    """The package could not be built; the message gives the reason and a fix."""
