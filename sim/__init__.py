"""Time, contention, loss, budgets: the discrete-event engine. The only folder that imports simpy."""
