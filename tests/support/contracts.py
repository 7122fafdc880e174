"""The contracts that the project carries."""

CONTRACTS = ("credit_card_churn", "credit_card_churn_full")
