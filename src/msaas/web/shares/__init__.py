"""Links that share a song: POST, GET and DELETE of /apiv1/jobs/<songhash>/shares, and what a link itself reads."""
