"""The tests. A package, because one of the clients under test installs a package of this name of its own."""
