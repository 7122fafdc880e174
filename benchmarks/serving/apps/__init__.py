"""The peers' applications. They run in environments that do not have this project's packages."""
