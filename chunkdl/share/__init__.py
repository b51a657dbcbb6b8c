"""Your own mirror: proven files of a cache laid out in a folder, and a server that offers it as a hub."""
