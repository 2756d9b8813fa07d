"""Account and administration: pages of the server itself, since their forms hold what no page kernel may see."""
