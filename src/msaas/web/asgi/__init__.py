"""Between the sockets and the Flask app: takes requests in and hands answers out at the clients' pace, without a thread
for any of them. Knows nothing of songs and jobs."""
