"""The cellar: small tools that import nothing of the platform's other rooms."""
