"""The importer: from the lanes of a link into the local log, exactly once each, whatever breaks in between."""
