"""First contact with another organization: making invites, taking their redemption, redeeming a partner's."""
