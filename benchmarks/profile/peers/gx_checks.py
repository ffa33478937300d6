"""Great Expectations 1.x, ephemeral context, data frame in memory, one suite of about a hundred expectations validated in one run: what a careful team asks of each column."""
import json, sys
import great_expectations as gx, great_expectations.expectations as gxe
import pandas as pd
from pandas.api import types as pt

df = pd.read_parquet(sys.argv[1])
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = dict(globally=False)
batch = context.data_sources.add_pandas("frames").add_dataframe_asset("update").add_batch_definition_whole_dataframe("whole")

def checks(name):
    x, of = df[name], dict(column=name)
    yield gxe.ExpectColumnValuesToNotBeNull(**of, mostly=.8)
    yield gxe.ExpectColumnUniqueValueCountToBeBetween(**of, min_value=1)
    if pt.is_bool_dtype(x): yield gxe.ExpectColumnValuesToBeInSet(**of, value_set=[True, False])
    elif pt.is_numeric_dtype(x):
        yield gxe.ExpectColumnMeanToBeBetween(**of, min_value=-1e12, max_value=1e12)
        yield gxe.ExpectColumnStdevToBeBetween(**of, min_value=0)
        yield gxe.ExpectColumnMinToBeBetween(**of, min_value=-1e12)
        yield gxe.ExpectColumnMaxToBeBetween(**of, max_value=1e12)
        yield gxe.ExpectColumnQuantileValuesToBeBetween(**of, quantile_ranges=dict(quantiles=[.05, .25, .5, .75, .95], value_ranges=[[None, 1e12]]*5))
    elif pt.is_datetime64_any_dtype(x): yield gxe.ExpectColumnMinToBeBetween(**of, min_value="1900-01-01")
    elif pt.is_string_dtype(x) and len(x) and isinstance(x.dropna().iloc[0], str):
        yield gxe.ExpectColumnValueLengthsToBeBetween(**of, min_value=0, max_value=1000)
        yield gxe.ExpectColumnValuesToMatchRegex(**of, regex=r"\S", mostly=.5)

suite = gx.ExpectationSuite(name="update", expectations=[c for name in df for c in checks(name)])
got = batch.get_batch(batch_parameters=dict(dataframe=df)).validate(suite)
bad = [r.exception_info for r in got.results if "exception_traceback" in str(r.exception_info) and not r.success and "raised_exception': True" in str(r.exception_info)]
if bad: sys.exit(f"{len(bad)} checks raised: {str(bad[0])[-300:]}")
print(json.dumps(dict(rows=len(df), columns=df.shape[1], figures=got.statistics["evaluated_expectations"])))
