// modbus-serial against the served battery monitor, on its line: registers, identity, a hole, a write. Arguments: URL of serve's map, JSON [[address, count], ...]. Prints JSON.
import assert from "node:assert/strict";
import ModbusRTU from "modbus-serial";

const [url, wanted] = [new URL(process.argv[2]), JSON.parse(process.argv[3])];
const line = new ModbusRTU();
await line.connectRTUBuffered(url.pathname, { baudRate: 19200, parity: "none" });
line.setID(Number(url.searchParams.get("unit")));
line.setTimeout(5000);
const found = {};
for (const [address, count] of wanted) found[address] = (await line.readHoldingRegisters(address, count)).data;
await assert.rejects(line.readHoldingRegisters(263, 3), (error) => error.modbusCode === 2, "264 is a hole");
await assert.rejects(line.readInputRegisters(259, 1), (error) => error.modbusCode === 1, "no function 04");
await assert.rejects(line.writeRegister(266, 1), (error) => error.modbusCode === 2, "read-only");
await line.writeRegister(280, 0);
assert.deepEqual((await line.readHoldingRegisters(280, 1)).data, [0]);
await line.writeRegister(280, 1);
const identity = Object.values((await line.readDeviceIdentification(1, 0)).data);
await new Promise((done) => line.close(done));
console.log(JSON.stringify({ found, identity }));
