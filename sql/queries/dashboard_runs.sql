-- Runs, newest first, each with its stages; `until` keeps a replay from showing runs of later sessions.
SELECT run_id, min(job_name) AS job_name, min(started_at) AS started_at, max(finished_at) AS finished_at,
       min(first_session) AS first_session, max(last_session) AS last_session,
       CASE WHEN bool_or(state = 'failed') THEN 'failed' WHEN bool_or(state = 'running') THEN 'running' ELSE 'succeeded' END
           AS state,
       jsonb_agg(jsonb_build_object('stage', stage, 'state', state, 'row_count', row_count, 'symbol_count', symbol_count,
           'rejected_count', rejected_count, 'error', error, 'started_at', started_at, 'finished_at', finished_at)
           ORDER BY id) AS stages
FROM job_runs
WHERE run_id IN (
    SELECT run_id FROM job_runs WHERE %(until)s::date IS NULL OR last_session <= %(until)s
    GROUP BY run_id ORDER BY max(started_at) DESC LIMIT %(limit)s)
GROUP BY run_id
ORDER BY min(started_at) DESC
