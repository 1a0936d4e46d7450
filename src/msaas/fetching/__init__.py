"""Songs fetched by address: from a URL, or from a bucket of the configured object store.

`sources` decides what may be fetched, `http` and `bucket` open it, `download` reads it to disk and resumes after a
break, `run` makes it a job, `fetcher` is the thread that takes one fetch after another.
"""
