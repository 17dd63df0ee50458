import asyncio
async def test_x(sidecars):
    from byway.telemetry import wire

    async with sidecars.request() as c:
        for path in ("/a","/broken","/nowhere","/hop"):
            r=await c.get(f"http://127.0.0.1:{sidecars.outbound}{path}", headers={"x-byway-source":"forged"})
            print(path,r.status_code)
        r=await c.get(f"http://127.0.0.1:{sidecars.plain}/p", headers={"x-byway-source":"forged"})
        r=await c.post(f"http://127.0.0.1:{sidecars.outbound}/g", headers={"content-type":"application/grpc"})
    async with sidecars.request() as c:
        r=await c.get(f"http://127.0.0.1:{sidecars.tcp}/t")
    print(sidecars.seen)
    n=len(sidecars.collector.metrics)
    await sidecars.collector.until(lambda: len(sidecars.collector.metrics)>=n+5)
    print(len(sidecars.collector.traces))
    for t in sidecars.collector.traces:
        x=wire.Traces.FromString(t)
        for rs in x.resource_spans:
            for ss in rs.scope_spans:
                for s in ss.spans: print([a.value.string_value for a in rs.resource.attributes],s.trace_id.hex(),s.span_id.hex(),s.parent_span_id.hex(),s.kind,s.name,[(a.key,a.value.string_value or a.value.int_value) for a in s.attributes])
    print((sidecars.directory/"access.log").read_text())
    print((sidecars.directory/"envoy.log").read_text()[-6000:])
    import httpx
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(sidecars.directory/"admin.sock")),base_url="http://a") as c:
        print((await c.get("/stats/prometheus")).text[:3000])
    assert 0
