"""What is wrong with the organization's own cluster and this gateway: facts are gathered, pure checks judge them."""
