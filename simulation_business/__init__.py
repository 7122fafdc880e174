"""The business: sends customers to both servers, regularly, and says how it was answered."""
