"""Images, shards, statistics, duplicates and anomalies: helpers of the data stages."""
