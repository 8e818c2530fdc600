// node-opcua against a served tank: browses, reads, writes, subscribes, and is refused by name. Argument: the URL of serve's map.
import assert from "node:assert/strict";
import { AttributeIds, DataType, MessageSecurityMode, OPCUAClient, SecurityPolicy, StatusCodes, TimestampsToReturn } from "node-opcua";

const [url] = process.argv.slice(2);
const client = OPCUAClient.create({
  endpointMustExist: false,
  securityMode: MessageSecurityMode.None,
  securityPolicy: SecurityPolicy.None,
  connectionStrategy: { maxRetry: 1 },
});
await client.connect(url);
const session = await client.createSession();

const objects = await session.browse("i=85");
const device = objects.references.find((reference) => reference.browseName.name.startsWith("tanks"));
assert(device, "the device is below Objects");
const nodes = await session.browse(device.nodeId);
const names = nodes.references.map((reference) => reference.browseName.name);
assert(["pump", "level", "inflow"].every((name) => names.includes(name)), names.join());

const level = await session.read({ nodeId: "ns=2;s=level", attributeId: AttributeIds.Value });
assert.equal(level.statusCode, StatusCodes.Good);
assert(level.value.value > 0 && level.value.value < 4, `level ${level.value.value}`);
assert(Math.abs(level.sourceTimestamp - Date.now()) < 600_000, "of today");

const off = { nodeId: "ns=2;s=pump", attributeId: AttributeIds.Value, value: { value: { dataType: DataType.Boolean, value: false } } };
assert.equal(await session.write(off), StatusCodes.Good);
assert.equal((await session.read({ nodeId: "ns=2;s=pump", attributeId: AttributeIds.Value })).value.value, false);
const wrong = { ...off, value: { value: { dataType: DataType.String, value: "off" } } };
assert.equal(await session.write(wrong), StatusCodes.BadTypeMismatch);
const shown = { nodeId: "ns=2;s=level", attributeId: AttributeIds.Value, value: { value: { dataType: DataType.Float, value: 1 } } };
assert((await session.write(shown)).isNot(StatusCodes.Good), "what is measured isn't written");
assert.equal((await session.read({ nodeId: "ns=2;s=nothing", attributeId: AttributeIds.Value })).statusCode, StatusCodes.BadNodeIdUnknown);

const subscription = await session.createSubscription2({ requestedPublishingInterval: 100, requestedMaxKeepAliveCount: 20, requestedLifetimeCount: 100, publishingEnabled: true });
const item = await subscription.monitor({ nodeId: "ns=2;s=level", attributeId: AttributeIds.Value }, { samplingInterval: 100, queueSize: 10 }, TimestampsToReturn.Both);
const heard = [];
await new Promise((done, failed) => {
  const timer = setTimeout(() => failed(new Error(`${heard.length} notifications in 10 s`)), 10_000);
  item.on("changed", (value) => {
    heard.push(value.value.value);
    if (heard.length === 10) {
      clearTimeout(timer);
      done();
    }
  });
});
assert(new Set(heard).size > 5, "the level moves");
await subscription.terminate();
await session.close();
await client.disconnect();
console.log(`node-opcua: ${names.length} nodes, level ${level.value.value.toFixed(3)} m, ${heard.length} notifications`);
process.exit(0);
