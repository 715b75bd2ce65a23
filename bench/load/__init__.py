"""golive under load: beside what else a user would pick, as a service, and as its store grows."""
