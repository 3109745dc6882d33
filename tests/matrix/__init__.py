"""Sources by faults: what a mirror must survive on real brokers, judged record by record and offset by offset."""
