"""The simulators: send customers to both servers regularly, and log how they were answered."""
