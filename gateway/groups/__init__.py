"""Consumer groups across a link: positions asked for, translated, written, rehearsed and kept in step."""
