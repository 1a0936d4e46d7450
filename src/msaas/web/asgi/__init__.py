"""The ASGI server in front of the Flask app: receives requests and sends answers at the clients' pace, without
occupying threads. Independent of songs and jobs."""
