"""ydata-profiling as its page on large data has it: `ProfileReport(df, minimal=True)`; the JSON of the report, which spares it the drawing of a page."""
import json, sys
import pandas as pd
from ydata_profiling import ProfileReport

df = pd.read_parquet(sys.argv[1])
got = json.loads(ProfileReport(df, minimal=True, progress_bar=False).to_json())
print(json.dumps(dict(rows=got["table"]["n"], columns=len(got["variables"]), figures=sum(not isinstance(v, (dict, list)) for c in got["variables"].values() for v in c.values()))))
