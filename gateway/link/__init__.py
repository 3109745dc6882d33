"""The waiting side of a link: sessions move bytes and time for `mesh.link`; lanes are what its users hold."""
