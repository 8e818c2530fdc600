// modbus-serial against a served press and a served meter: reads, writes, floats, exceptions, many at once. Arguments: two URLs of serve's map.
import assert from "node:assert/strict";
import ModbusRTU from "modbus-serial";

const [press, meter] = process.argv.slice(2).map((url) => new URL(url));

function float(words) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16BE(words[0], 0);
  bytes.writeUInt16BE(words[1], 2);
  return bytes.readFloatBE(0);
}

const client = new ModbusRTU();
await client.connectTCP(press.hostname, { port: Number(press.port) });
client.setID(Number(press.pathname.slice(1)));
client.setTimeout(2000);
const pressure = float((await client.readHoldingRegisters(0, 2)).data);
assert(pressure > 4 && pressure < 8, `pressure ${pressure}`);
await client.writeRegisters(14, [0x4090, 0]);
assert.equal(float((await client.readHoldingRegisters(14, 2)).data), 4.5);
await client.writeRegister(15, 0);
await client.maskWriteRegister(14, 0xffff, 0);
await assert.rejects(client.readHoldingRegisters(9000, 1), (error) => error.modbusCode === 2);
await assert.rejects(client.writeRegister(9000, 1), (error) => error.modbusCode === 2);
await assert.rejects(client.readCoils(0, 1), (error) => error.modbusCode === 2);
const info = await client.readDeviceIdentification(1, 0);
assert.equal(info.data[1], "press-sensor");
client.setID(99);
await assert.rejects(client.readHoldingRegisters(0, 1), (error) => error.modbusCode === 11);
client.setID(Number(press.pathname.slice(1)));
const many = await Promise.all(Array.from({ length: 40 }, () => client.readHoldingRegisters(0, 10)));
assert(many.every((answer) => answer.data.length === 10));
await new Promise((done) => client.close(done));

const line = new ModbusRTU();
await line.connectRTUBuffered(meter.pathname, { baudRate: 19200, parity: "none" });
line.setID(Number(meter.searchParams.get("unit")));
line.setTimeout(2000);
const voltage = float((await line.readInputRegisters(2, 2)).data);
assert(voltage > 220 && voltage < 240, `voltage ${voltage}`);
await line.writeRegisters(0, [0x43fa, 0]);
assert.equal(float((await line.readHoldingRegisters(0, 2)).data), 500);
await assert.rejects(line.readInputRegisters(9000, 1), (error) => error.modbusCode === 2);
await new Promise((done) => line.close(done));
console.log(`modbus-serial: pressure ${pressure.toFixed(2)} bar over TCP, voltage ${voltage.toFixed(1)} V over RTU`);
