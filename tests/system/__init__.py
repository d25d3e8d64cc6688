"""The service among real parts (nginx, Redis, Chromium, processes): run once, on one Python."""
