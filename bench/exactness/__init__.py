"""What a move, a kill and a loss cost, side by side: two gateways and MirrorMaker 2 on the same topics."""
