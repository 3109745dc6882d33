"""The console: pages for people, served by the admin listener under /console/."""
