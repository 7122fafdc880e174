"""Tell people about alerts: who is called, Alertmanager's configuration, and a test of both."""
