-- due lets in calls whose key time has freed. The worker that swept last sends it when that is soon.
-- Returns {who was let in; in how many ms time frees the next key, -1 if none waits for that}

the_gates().try_due(now)
return {the_gates().written(), the_gates().next_due()}
