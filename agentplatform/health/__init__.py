"""Whether the platform works: `/health` and its relatives, for people, load balancers and orchestrators."""
