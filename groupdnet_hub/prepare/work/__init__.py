"""The work of a preparation: tasks over processes and machines, records from which a stopped run resumes, shards."""
