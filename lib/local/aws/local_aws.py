"""Starts ministack 1.5.33 with six of its gaps closed:
1. EventBridge rule -> Lambda and SNS -> Lambda take Lambda's asynchronous path (retries, then OnFailure or dead-letter queue).
2. An EventBridge target's DeadLetterConfig is used when the function is missing.
3. A throttled asynchronous invocation waits and consumes no retry.
4. CloudFormation's ReservedConcurrentExecutions is applied.
5. PutEvents refuses a malformed Detail (FailedEntryCount) and an entry over 1 MiB.
6. aws:PrincipalArn of a role's session is the role's ARN.
7. ssm:GetParametersByPath is authorized on the path that is asked for, as by AWS, and not on every parameter.
It replaces private functions: valid for this version alone, and it asserts that they exist."""
import json, sys, logging
from ministack.services import eventbridge as eb, sns, lambda_svc as lam
from ministack.core.arn import parse_arn
log = logging.getLogger("shim")

import threading, time, contextvars
_orig_exec = lam._execute_function
_async = threading.local()
def _execute_function(func, event, *a, **k):
    r = _orig_exec(func, event, *a, **k)
    if getattr(_async, "on", False):
        end = time.time() + 21600
        while r.get("throttle") and time.time() < end:
            time.sleep(0.2); r = _orig_exec(func, event, *a, **k)
    return r
lam._execute_function = _execute_function
_orig_async = lam.invoke_async_with_retry
def invoke_async_with_retry(func, event):
    # invoke_async_with_retry starts its own thread; mark that thread as asynchronous
    T = threading.Thread
    def mark(target=None, args=(), daemon=None, **k):
        def run():
            _async.on = True
            target(*args)
        return T(target=run, daemon=daemon, **k)
    class Shim:                                  # only lam's view of "threading" changes, for this call
        Thread = staticmethod(mark)
        def __getattr__(self, n): return getattr(threading, n)
    with _patch_lock:
        real = lam.threading; lam.threading = Shim()
        try: return _orig_async(func, event)
        finally: lam.threading = real
_patch_lock = threading.Lock()
lam.invoke_async_with_retry = invoke_async_with_retry

from ministack.services.cloudformation import provisioners as prov
def _apply_concurrency(name, props):
    v = props.get("ReservedConcurrentExecutions")
    if v is not None:
        lam._put_function_concurrency(name, {"ReservedConcurrentExecutions": int(v)})
    elif name in lam._functions:
        lam._functions[name]["concurrency"] = None
_h = prov.__dict__[next(n for n, v in vars(prov).items() if isinstance(v, dict) and isinstance(v.get("AWS::Lambda::Function"), dict) and "create" in v["AWS::Lambda::Function"])]["AWS::Lambda::Function"]
_c, _u = _h["create"], _h["update"]
def _create(logical_id, props, stack_name, *a, **k):
    out = _c(logical_id, props, stack_name, *a, **k)
    _apply_concurrency(out[0] if isinstance(out, tuple) else out, props); return out
def _update(physical_id, old, new, stack_name, *a, **k):
    out = _u(physical_id, old, new, stack_name, *a, **k)
    _apply_concurrency(physical_id, new); return out
_h["create"], _h["update"] = _create, _update

def _dispatch_to_lambda(arn, payload):
    event = json.loads(payload)
    func, config, name = lam._get_func_record_for_ref(arn)
    if not func or not config:
        raise LookupError(f"function {name} not found")
    lam.invoke_async_with_retry(lam._execution_record_for_config(func, config), event)
assert hasattr(eb, "_dispatch_to_lambda"); eb._dispatch_to_lambda = _dispatch_to_lambda

_orig_invoke_target = eb._invoke_target
def _invoke_target(target, event, rule, view=None):
    dlq = (target.get("DeadLetterConfig") or {}).get("Arn")
    spec = parse_arn(target.get("Arn", ""))
    if dlq and spec.service == "lambda" and not lam._get_func_record_for_ref(target["Arn"])[0]:
        v = view or eb._pattern_event_view(event)
        eb._dispatch_to_sqs(parse_arn(dlq), json.dumps(v.event_with_detail()), {})
        return
    return _orig_invoke_target(target, event, rule, view)
eb._invoke_target = _invoke_target

_orig_put = eb._put_events
def _put_events(data, allow_aws_source=False):
    bad = {}
    good = []
    for i, e in enumerate(data.get("Entries", [])):
        try:
            ok = isinstance(json.loads(e.get("Detail", "{}")), dict)
        except Exception:
            ok = False
        if not ok:
            bad[i] = {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        elif sum(len(str(e.get(k, "")).encode()) for k in ("Detail", "DetailType", "Source")) > 1024 * 1024:
            return eb.error_response_json("ValidationException", "Total size of the entries in the request is over the limit.", 400)
        else:
            good.append(e)
    if not bad:
        return _orig_put(data, allow_aws_source)
    status, headers, body = _orig_put({**data, "Entries": good}, allow_aws_source)
    r = json.loads(body); it = iter(r["Entries"])
    r["Entries"] = [bad[i] if i in bad else next(it) for i in range(len(data["Entries"]))]
    r["FailedEntryCount"] += len(bad)
    return eb.json_response(r)
eb._put_events = _put_events
for name, ref in list(vars(eb).items()):        # dispatch tables hold the old function
    if isinstance(ref, dict):
        for k, v in ref.items():
            if v is _orig_put: ref[k] = _put_events

assert hasattr(sns, "_deliver_to_lambda")
def _sns_deliver(endpoint, envelope, topic_arn, sub_arn, msg_id, raw_message, message_attributes):
    func, config, name = lam._get_func_record_for_ref(endpoint)
    if not func or not config:
        log.warning("SNS fanout: Lambda function %s not found", name); return
    lam.invoke_async_with_retry(lam._execution_record_for_config(func, config), {"Records": [{"EventVersion": "1.0", "EventSubscriptionArn": sub_arn, "EventSource": "aws:sns", "Sns": json.loads(envelope)}]})
sns._deliver_to_lambda = _sns_deliver

from ministack.core import iam_evaluator as iam
_orig_key = iam._resolve_condition_key
def _resolve_condition_key(key, ctx):
    value = _orig_key(key, ctx)
    if key.lower() == "aws:principalarn" and ":assumed-role/" in str(value):
        # Roles with a path lose it here; the stack's have none.
        head, rest = value.split(":assumed-role/", 1)
        return head.replace(":sts:", ":iam:") + ":role/" + rest.split("/")[0]
    return value
iam._resolve_condition_key = _resolve_condition_key

from ministack.core import iam_actions as iam
_resource_arn = iam.extract_resource_arn
def _extract_resource_arn(service, method, path, headers, body, query_params, region, account_id):
    if service == "ssm" and iam._action_from_target(headers) == "GetParametersByPath":
        asked = json.loads(body or b"{}").get("Path", "")
        return f"arn:aws:ssm:{region}:{account_id}:parameter/{asked.strip('/')}"
    return _resource_arn(service, method, path, headers, body, query_params, region, account_id)
iam.extract_resource_arn = _extract_resource_arn

def _end_with_stdin():
    """Whoever started this holds the other end of stdin: when it dies, so do this process and its functions."""
    import os, signal
    while sys.stdin.buffer.read(4096):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    import os
    if os.environ.get("END_WITH_STDIN") == "1":
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    from ministack.app import main
    sys.exit(main())
